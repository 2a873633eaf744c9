"""Conversations as the parent reads them: rendered by its chat template, and where in the text its answers are."""

from pathlib import Path
from typing import Any

Span = tuple[int, int]


class ChatTemplate:
    """The chat template of a parent's tokenizer. Raises ValueError if it has none."""

    def __init__(self, parent: str | Path):
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(str(parent), local_files_only=True)
        if not self.tokenizer.chat_template:
            raise ValueError(
                f"{Path(parent) / 'tokenizer_config.json'}: has no chat_template; format: messages needs a chat "
                "model as data.parent"
            )

    def render(self, messages: list[dict[str, Any]], place: str, prompt: bool = False) -> str:
        """Return messages as text, with the beginning of an answer after them if asked.

        Raises ValueError, naming place, if the template does not take them.
        """
        from jinja2 import TemplateError

        try:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
        except (TemplateError, TypeError, ValueError) as error:
            raise ValueError(f"{place}: the parent's chat template does not take the messages ({error})") from error

    def answers(self, messages: list[dict[str, Any]], text: str, place: str) -> list[Span]:
        """Return where in the rendered text the assistant's messages are, each with the token that ends its turn.

        An answer is what its messages add to those before it and the beginning of an answer. Raises ValueError, naming
        place, if there is no answer, or none is asked for, or the template renders the first messages in another way
        once others follow: then loss: answers has no meaning.
        """
        spans: list[Span] = []
        for n, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            if n == 0:
                raise ValueError(f"{place}: messages begin with the assistant's; loss: answers needs one before it")
            before = self.render(messages[:n], place, prompt=True)
            after = self.render(messages[: n + 1], place)
            if not after.startswith(before) or not text.startswith(after.rstrip()):
                raise ValueError(
                    f"{place}: the parent's chat template changes messages 0 to {n} once others follow, so answers "
                    "cannot be found in the text; expected loss: all"
                )
            spans.append((len(before), len(after.rstrip())))
        if not spans:
            raise ValueError(f"{place}: has no message of the assistant, which loss: answers learns from")
        return spans


def checked(messages: Any, place: str, field: str) -> list[dict[str, Any]]:
    """Return messages that are a list of {role, content}, without their empty keys. Raises ValueError, naming place."""
    if not isinstance(messages, list) or not messages:
        raise ValueError(f"{place}: {field} is {messages!r:.60}; expected a list of messages, {{role, content}}")
    for n, message in enumerate(messages):
        for key in ("role", "content"):
            if not isinstance(message, dict) or not isinstance(message.get(key), str):
                value = message.get(key) if isinstance(message, dict) else message
                raise ValueError(f"{place}: {field}.{n}.{key} is {value!r:.60}; expected text")
    return [{key: value for key, value in message.items() if value is not None} for message in messages]
