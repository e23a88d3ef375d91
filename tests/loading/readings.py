"""How a file reads: for the loader, whose plain scalars are texts, and for an editor, by YAML 1.2."""

import re
from pathlib import Path

import yaml

from licfsm.loading.document import read_document

Json = dict[str, "Json"] | list["Json"] | str | float | bool | None
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def both(path: Path) -> list[Json]:
    """Read a file in both ways."""
    text = path.read_bytes().decode("utf-8-sig")
    return [plain(read_document(path, "file")), core(yaml.compose(text, Loader=LOADER))]


def plain(value: Json) -> Json:
    """Turn what the loader reads into what JSON knows."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if value is None else str(value)


def core(node: yaml.Node) -> Json:
    """Turn a node into what the core schema of YAML 1.2 makes of it."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: core(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [core(item) for item in node.value]
    written = node.value
    if node.style:
        return written
    if written in {written.lower(), written.title(), written.upper()} and written.lower() in WORDS:
        return WORDS[written.lower()]
    if INTEGER.fullmatch(written):
        return int(written, 0 if written[1:2] in {"o", "x"} else 10)
    return float(re.sub(r"\.(?=inf|nan)", "", written.lower())) if FLOAT.fullmatch(written) else written
