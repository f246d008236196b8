from typing import Protocol, type_check_only

from fastcore.xml import FT

# At runtime each tag is a functools.partial of ft_hx.
@type_check_only
class _Tag(Protocol):
    def __call__(self, *c: object, **kwargs: object) -> FT: ...

def ft_hx(
    tag: str,
    *c: object,
    target_id: str | None = None,
    hx_vals: dict[str, object] | str | None = None,
    hx_target: FT | str | None = None,
    **kwargs: object,
) -> FT: ...
def sse_message(elm: object, event: str = "message") -> str: ...

A: _Tag
Article: _Tag
Body: _Tag
Button: _Tag
Caption: _Tag
Code: _Tag
Datalist: _Tag
Dd: _Tag
Dialog: _Tag
Div: _Tag
Dl: _Tag
Dt: _Tag
Fieldset: _Tag
Footer: _Tag
Form: _Tag
H1: _Tag
H2: _Tag
Head: _Tag
Header: _Tag
Html: _Tag
Img: _Tag
Input: _Tag
Label: _Tag
Legend: _Tag
Li: _Tag
Link: _Tag
Main: _Tag
Meta: _Tag
Option: _Tag
P: _Tag
Pre: _Tag
Progress: _Tag
Section: _Tag
Select: _Tag
Span: _Tag
Table: _Tag
Tbody: _Tag
Td: _Tag
Template: _Tag
Th: _Tag
Thead: _Tag
Title: _Tag
Tr: _Tag
Ul: _Tag
