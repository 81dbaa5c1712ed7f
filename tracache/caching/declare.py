"""One declaration for each setting, from which everything that shows or takes it derives.

A setting is a field of a configuration, declared by :func:`setting`. Validation, the command
line's option, the page's control, the endpoint's parameter, a link, a script, a command and the
manual's table are made from that declaration: adding a setting is adding one field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from tracache.caching.checks import require_bool, require_choice, require_integer, require_number

#: Who may set a setting: whoever can reach the page; the host's own command line and Python, since
#: it opens files; or Python alone, since its value is no plain one.
ANYONE, HOST, PYTHON = "anyone", "host", "python"

#: What its value is: a whole number, a number, yes or no, one of several words, any text, rising
#: indices of steps, or a value that only Python can write.
KINDS = ("whole", "number", "switch", "choice", "text", "steps", "value")


@dataclass(frozen=True)
class Setting:
    """What is declared of one setting.

    Attributes
    ----------
    name : str
        Of the field.
    kind : str
        One of :data:`KINDS`.
    default : Any
        Its default; None where something else, such as the model, has the default.
    low, high : float
        Bounds of a number, or of each step.
    choices : tuple of str
        Words to choose from; of a number, words that may stand in its place.
    label, help : str
        A name and a plain sentence, for people.
    who : {"anyone", "host", "python"}
        Who may set it.
    group : str
        Where the page shows it; empty where it does not.
    shown : tuple of (float, float, float), optional
        Lowest, highest and step of the page's slider, where these are not the bounds.
    only : tuple of (str, str), optional
        (another setting, its value) without which this one means nothing.
    video : bool
        Whether it means something for videos alone.
    tries : tuple of float
        Values to search among where a run is to cost so much; empty where it is left as it is.
    needed : bool
        Whether nothing can be made without it.
    for_host : tuple of str
        Choices that go with a setting which only the host may set, and so are not for the page.
    """

    name: str
    kind: str
    default: Any
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()
    label: str = ""
    help: str = ""
    who: str = ANYONE
    group: str = ""
    shown: tuple[float, float, float] | None = None
    only: tuple[str, str] | None = None
    video: bool = False
    tries: tuple[float, ...] = ()
    needed: bool = False
    for_host: tuple[str, ...] = ()

    @property
    def offered(self) -> Setting:
        """The same with those choices alone that anyone may take."""
        words = tuple(word for word in self.choices if word not in self.for_host)
        return replace(self, choices=words)

    @property
    def option(self) -> str:
        """Its option on the command line, such as ``--max-order``."""
        return "--" + self.name.replace("_", "-")

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        words = list(self.choices)
        if self.kind in ("whole", "number"):
            words.insert(0, f"{self.low:g} to {self.high:g}")
        elif self.kind == "switch":
            words = ["true", "false"]
        elif self.kind == "steps":
            words = [f"indices of steps, 0 to {self.high:g}, beginning with 0"]
        return ", ".join(words)

    def check(self, value: Any) -> Any:
        """Return a value if it is allowed, in the form in which it is kept.

        Raises
        ------
        ValueError
            Naming the setting, the value and what is allowed.
        """
        if self.default is None and value is None:
            return None
        match self.kind:
            case "whole" | "number" if self.choices and isinstance(value, str):
                if value not in self.choices:
                    words = " or ".join(["a whole number", *map(repr, self.choices)])
                    raise ValueError(f"{self.name} must be {words}, got {value!r}")
            case "whole":
                require_integer(self.name, value, int(self.low), int(self.high))
            case "number":
                require_number(self.name, value, self.low, self.high)
            case "switch":
                require_bool(self.name, value)
            case "choice":
                require_choice(self.name, value, self.choices)
            case "text":
                if not isinstance(value, str):
                    raise ValueError(f"{self.name} must be text, got {value!r}")
            case "steps":
                return self._check_steps(value)
        return value

    def _check_steps(self, value: Any) -> tuple[int, ...]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError(f"{self.name} must be indices of steps, got {value!r}")
        steps = tuple(value)
        for step in steps:
            require_integer(self.name, step, 0, int(self.high))
        if not steps or steps[0] != 0 or list(steps) != sorted(set(steps)):
            raise ValueError(f"{self.name} must begin with 0 and rise, got {steps!r}")
        return steps

    def read(self, text: str, where: str = "") -> Any:
        """Return the value that a link or a shell writes as ``text``; the inverse of :meth:`write`.

        Parameters
        ----------
        text : str
            What is written.
        where : str
            Said behind the name if it cannot be read, such as " in the link".

        Raises
        ------
        ValueError
            If the text cannot be one; whether the value is allowed is :meth:`check`'s to say.
        """
        if self.kind == "steps":
            return tuple(self._number(step, "whole", where) for step in text.split(",") if step)
        if self.kind in ("choice", "text") or text in self.choices:
            return text
        if self.kind == "switch":
            if text not in ("0", "1"):
                raise ValueError(f"{self.name}{where} must be 0 or 1, got {text[:20]!r}")
            return text == "1"
        return self._number(text, self.kind, where)

    def _number(self, text: str, kind: str, where: str) -> int | float:
        try:
            return int(text) if kind == "whole" or text.lstrip("-").isdecimal() else float(text)
        except ValueError:
            what = "a whole number" if kind == "whole" else "a number"
            raise ValueError(f"{self.name}{where} must be {what}, got {text[:20]!r}") from None

    def write(self, value: Any) -> str:
        """Return a value as a link has it."""
        if isinstance(value, bool):
            return str(int(value))
        return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def rising(low: float, high: float, count: int) -> tuple[float, ...]:
    """Return so many values from low to high, each as many times the one before, to try."""
    factor = (high / low) ** (1 / (count - 1))
    return tuple(float(f"{low * factor**i:.3g}") for i in range(count))


def setting(default: Any, *, kind: str = "", **declared: Any) -> Any:
    """Declare a field of a configuration as a setting.

    Parameters
    ----------
    default : Any
        Its default.
    kind : str, optional
        One of :data:`KINDS`; follows from the default and the choices if not given.
    **declared
        The other attributes of :class:`Setting` but its name.
    """
    if not kind:
        by_type = {bool: "switch", int: "whole", float: "number", str: "text"}
        kind = by_type.get(type(default), "value")
        kind = "choice" if kind == "text" and declared.get("choices") else kind
    made = Setting("", kind, default, **declared)
    return field(default=default, metadata={"setting": made})


def settings_of(config: type) -> dict[str, Setting]:
    """Return what a configuration declares, by name, in the order of its fields."""
    return {
        entry.name: replace(entry.metadata["setting"], name=entry.name)
        for entry in fields(config)
        if "setting" in entry.metadata
    }


def check_settings(config: Any) -> None:
    """Check every declared setting of a configuration; for its ``__post_init__``.

    Raises
    ------
    ValueError
        If a value is not allowed; the message names the setting, the value and what is.
    """
    for name, declared in settings_of(type(config)).items():
        # JSON has lists where a frozen, comparable setting needs tuples.
        object.__setattr__(config, name, declared.check(getattr(config, name)))
