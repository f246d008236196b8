from fastcore.xml import FT as FT
from fastcore.xml import to_xml as to_xml
from fasthtml.components import Div as Div
from fasthtml.core import FastHTML as FastHTML
from fasthtml.xtend import Script as Script
