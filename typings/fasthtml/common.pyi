from fastcore.basics import NotStr as NotStr
from fastcore.xml import FT as FT, to_xml as to_xml
from fasthtml.components import Div as Div, Span as Span, ft_hx as ft_hx
from fasthtml.core import FastHTML as FastHTML
from fasthtml.xtend import Script as Script, Style as Style
