"""Chats for instruction models: messages with roles -> the one text that the model was trained to go on with.

Every family of models marks in its own way who speaks. That way is a small program in the language Jinja, the chat template,
which comes with the checkpoint:

    [{"role": "user", "content": "Hello!"}]  ->  "<|im_start|>user\\nHello!<|im_end|>\\n<|im_start|>assistant\\n"

Templates are written by strangers: they run in Jinja's sandbox and see nothing but the messages and the special tokens.
"""

import datetime
import functools
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template

SPEAKERS = ("system", "developer", "user", "assistant", "tool")
HERE = "\ue000the answer goes on here\ue000"           # no text contains it


def named_templates(found: Any) -> dict[str, str]:
    """What tokenizer_config.json says, one template or a list of {"name": …, "template": …}, as {name: template}."""
    if found is None:
        return {}
    if isinstance(found, str):
        return {"default": found}
    if isinstance(found, list) and all(isinstance(one, dict) and {"name", "template"} <= set(one) for one in found):
        found = {one["name"]: one["template"] for one in found}
    if not isinstance(found, dict) or not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise ValueError("chat_template must be one Jinja template as a string, or several as {name: template}, "
                         f"got {str(found)[:60]!r}")
    return found


@functools.lru_cache(maxsize=16)
def compiled(template: str) -> "Template":
    """The template as Python code; ValueError with the line when it is no Jinja."""
    from jinja2 import TemplateError, TemplateSyntaxError, nodes  # comes with torch; only chats need it
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """{% generation %} … {% endgeneration %} marks what the model says itself; here it is text like all other."""

        tags = {"generation"}

        def parse(self, parser: Any) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)      # Jinja's own writes < as \u003c

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals |= {"raise_exception": raise_exception,
                            "strftime_now": lambda form: datetime.datetime.now().strftime(form)}
    try:
        return environment.from_string(template)
    except TemplateSyntaxError as error:
        raise ValueError(f"the chat template is no valid Jinja (line {error.lineno}: {error.message})") from None
    except Exception as error:                        # Jinja computes what is constant at once
        raise ValueError(f"the chat template cannot be read ({type(error).__name__}: {error})") from None


def render(template: str, messages: list[dict[str, Any]], go_on: bool = False, **values: Any) -> str:
    """The text of one chat. go_on: it ends in the middle of the last message, for the model to continue.

    Raises ValueError when the template refuses the messages.
    """
    if go_on:
        if not isinstance(messages[-1].get("content"), str):
            raise ValueError("continue_final_message=True needs a last message whose content is a text")
        messages = [*messages[:-1], messages[-1] | {"content": f"{messages[-1]['content']}{HERE} "}]
    try:
        text = compiled(template).render(messages=messages, **values)
    except Exception as error:                        # a template is a program: anything may go wrong in it
        roles = ", ".join(message["role"] for message in messages)
        raise ValueError(f"the chat template of this tokenizer does not take these messages (roles: {roles}): "
                         f"{error or type(error).__name__}. "
                         "Print tokenizer.chat_template to see what it expects") from None
    if go_on:
        text, found, rest = text.rpartition(HERE)
        if not found:
            raise ValueError("continue_final_message=True is not possible here: the chat template leaves the last message out")
        if not rest.startswith(" "):                  # the template strips its messages
            text = text.rstrip()
    return text


def check_messages(messages: Any, template: str) -> tuple[list[list[dict[str, Any]]], bool]:
    """One chat or a list of chats -> (list of chats, whether several were given). Raises TypeError or ValueError."""
    example = '[{"role": "user", "content": "Hello!"}]'
    if not isinstance(messages, (list, tuple)) or not messages:
        what = "an empty list" if isinstance(messages, (list, tuple)) else f"{type(messages).__name__} {str(messages)[:40]!r}"
        raise TypeError(f"a chat is a list of messages, like {example}; got {what}")
    several = isinstance(messages[0], (list, tuple))
    chats: list[Any] = list(messages) if several else [messages]
    for chat in chats:
        if not isinstance(chat, (list, tuple)) or not chat:
            raise TypeError(f"each chat is a list of messages, like {example}; got {str(chat)[:40]!r}")
        for number, message in enumerate(chat):
            if not isinstance(message, dict) or not isinstance(message.get("role"), str):
                raise TypeError(f"message {number} must be a dict with a role and a content, like {example[1:-1]}; "
                                f"got {str(message)[:60]!r}")
            role = message["role"]
            if role not in SPEAKERS and f"'{role}'" not in template and f'"{role}"' not in template:
                raise ValueError(f"message {number} has the role {role!r}, which neither chats in general nor this template "
                                 f"know; roles are {', '.join(SPEAKERS)}")
    return chats, several
