"""What a target starts from: its own files in corpus/NAME, and all records of the recorded hosts."""

from __future__ import annotations

from functools import cache

from tests.fuzz.targets import CORPUS
from tests.support.hosts import HOSTS, read


def inputs(name: str) -> list[bytes]:
    """The inputs of a target."""
    own = sorted((CORPUS / name).glob("*")) + sorted((CORPUS / "all").glob("*"))
    return [path.read_bytes() for path in own] + recorded()


@cache
def recorded() -> list[bytes]:
    """The texts of all files that hosts were recorded with, except for long ones."""
    sections = [section for host in HOSTS for section in read(host).sections if section.words[0] == "file"]
    texts = {"\n".join(section.lines) for section in sections}
    return [text.encode("utf-8", "surrogateescape") for text in sorted(texts) if len(text) < 20_000]
