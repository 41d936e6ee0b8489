"""Findings in a workflow's Python files, made without executing them."""

from __future__ import annotations

import ast
import importlib.util
import io
import sys
import tokenize
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path

from motoko.operations.findings import Finding

_NOT_HIDDEN = frozenset({*sys.stdlib_module_names, "BlackDynamite", "motoko"})
_GUARDS = frozenset({"ImportError", "ModuleNotFoundError", "Exception"})


def orchestrator_findings(path: Path, yaml: Path, line: int | None, function: str) -> list[Finding]:
    """The findings in the orchestrator's file.

    Args:
        path: the file.
        yaml, line: motoko.yaml, and the line that names the file.
        function: the function that the file must have.
    """
    if not path.is_file():
        remedy = "`orchestrator: module.function` names a file next to motoko.yaml: create it"
        return [Finding(yaml, line, f"orchestrator: there is no {path.name}", remedy)]
    tree, findings = _parsed(path)
    if tree is None:
        return findings
    main = _defined(tree, function)
    if main is None:
        remedy = f"define `async def {function}(workflow, **params)` there"
        problem = f"orchestrator: {path.name} has no function {function!r}"
        return [Finding(yaml, line, problem, remedy)]
    findings += _signature(path, main)
    findings += _forgotten_awaits(path, tree)
    findings += missing_imports(path, tree, _modules_in(path.parent), is_error=True)
    return findings


def do_it_findings(
    path: Path, others: Collection[Path], *, says_end: bool, is_known_place: bool
) -> list[Finding]:
    """The findings in a study's doIt.py.

    Args:
        path: the file.
        others: the other files of run directories.
        says_end: whether the run must report its own end, by ``run.finish()``.
        is_known_place: whether runs have the modules that this process has.
    """
    tree, findings = _parsed(path)
    if tree is None:
        return findings
    modules = {other.stem for other in others} | {other.name for other in others}
    findings += missing_imports(path, tree, modules, is_error=is_known_place)
    texts = [_text(other) for other in (path, path.with_name("launch.sh"), *others)]
    if says_end and not any("finish" in text for text in texts):
        remedy = "call `run.finish()` at its end, or write `finish: on-exit` in motoko.yaml"
        findings.append(
            Finding(path, None, "it never calls finish(): its runs would fail", remedy, False)
        )
    return findings


def shadowing(files: Collection[Path]) -> Iterator[Finding]:
    """Findings for files that hide Python's modules, or BlackDynamite, from files next to them."""
    for path in files:
        if path.suffix == ".py" and path.stem in _NOT_HIDDEN:
            problem = f"it hides the module {path.stem} from the files next to it"
            yield Finding(path, None, problem, "rename it", is_error=False)


def missing_imports(
    path: Path, tree: ast.Module, present: Collection[str], *, is_error: bool
) -> Iterator[Finding]:
    """Findings for imports of missing modules; imports whose failure is handled are left out.

    Args:
        path, tree: the file, and its syntax tree.
        present: the names of modules next to the file.
        is_error: whether a missing module is certain to be an error.
    """
    for line, name in _imports(tree):
        if name in present or name in sys.builtin_module_names or _is_installed(name):
            continue
        remedy = f"install it (pip install {name}), or correct its name"
        problem = f"there is no module {name!r} in {sys.prefix}"
        yield Finding(path, line, problem, remedy, is_error)


def _parsed(path: Path) -> tuple[ast.Module | None, list[Finding]]:
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            source = _source(path)
            tree = ast.parse(source, str(path))
            compile(source, str(path), "exec", dont_inherit=True)
    except OSError as error:
        return None, [Finding(path, None, f"cannot be read: {error.strerror}", "check it")]
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        problem = f"it is not Python: {getattr(error, 'msg', None) or error}"
        return None, [Finding(path, line, problem, "mend its syntax there, or just above")]
    kept = [
        Finding(path, warning.lineno, str(warning.message), "mend it", is_error=False)
        for warning in caught
        if issubclass(warning.category, SyntaxWarning)
    ]
    return tree, [*dict.fromkeys(kept)]


def _source(path: Path) -> str:
    """A file's text. Raises ``SyntaxError`` if it is not in the encoding that it declares."""
    data = path.read_bytes()
    encoding, wrong = "utf-8", ""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError as error:
        wrong = str(error.msg)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"it has bytes that are no {encoding.upper()}"
        raise SyntaxError(message, (str(path), line, None, None)) from None
    if wrong:
        raise SyntaxError(wrong, (str(path), 1, None, None))
    return text


def _defined(tree: ast.Module, name: str) -> ast.stmt | None:
    """The statement that gives a name of a module its value."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [(alias.asname or alias.name) for alias in node.names]
        else:
            names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        if name in names or "*" in names:
            return node
    return None


def _signature(path: Path, main: ast.stmt) -> Iterator[Finding]:
    if not isinstance(main, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return
    arguments = main.args
    names = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    remedy = f"write `async def {main.name}(workflow, **params)`"
    if arguments.kwarg is None and "run_name" not in names:
        problem = f"{main.name} does not take run_name, which it is called with"
        yield Finding(path, main.lineno, problem, remedy)
    if not (arguments.posonlyargs or arguments.args or arguments.vararg):
        problem = f"{main.name} does not take the workflow, which it is called with"
        yield Finding(path, main.lineno, problem, remedy)


def _forgotten_awaits(path: Path, tree: ast.Module) -> Iterator[Finding]:
    """Findings for runs that are created and used without having been awaited."""
    for function in ast.walk(tree):
        if isinstance(function, ast.AsyncFunctionDef):
            for line in _unawaited(function):
                remedy = "write `await` before it: `runs = await workflow.study.createTask(...)`"
                problem = "the runs that are created here are used, and never awaited"
                yield Finding(path, line, problem, remedy, is_error=False)


def _unawaited(function: ast.AsyncFunctionDef) -> Iterator[int]:
    read = [n for n in ast.walk(function) if isinstance(n, ast.Name) and _is_read(n)]
    awaits = [node.lineno for node in ast.walk(function) if isinstance(node, ast.Await)]
    handed_on = _handed_on(function)
    for node in ast.walk(function):
        if isinstance(node, ast.For) and _creates(node.iter):
            yield node.iter.lineno
        elif isinstance(node, ast.Assign) and _creates(node.value):
            names = {target.id for target in node.targets if isinstance(target, ast.Name)}
            used = [name.lineno for name in read if name.id in names]
            # Another await between creation and use may wait for the runs, too.
            is_waited_for = used and any(node.lineno < line <= min(used) for line in awaits)
            if used and not is_waited_for and not names & handed_on:
                yield node.value.lineno


def _creates(node: ast.expr) -> bool:
    is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return is_method and node.func.attr == "createTask"  # type: ignore[attr-defined]


def _is_read(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Load)


def _handed_on(function: ast.AsyncFunctionDef) -> set[str]:
    """Names that are awaited, or passed to something that may await them.

    These are all names, except those that are only iterated over, indexed or asked for attributes.
    """
    names: set[str] = set()
    for node in ast.walk(function):
        used_here: list[ast.expr | None] = []
        if isinstance(node, (ast.For, ast.comprehension)):
            used_here = [node.iter]
        elif isinstance(node, (ast.Attribute, ast.Subscript)):
            used_here = [node.value]
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Name) and _is_read(child) and child not in used_here:
                names.add(child.id)
    return names


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The top-level modules that a file imports, each once, with the line of the import."""
    seen: set[str] = set()
    for node in _unguarded(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules = [node.module]
        for name in (module.partition(".")[0] for module in modules):
            if name not in seen:
                seen.add(name)
                yield node.lineno, name  # type: ignore[attr-defined]  # of a statement


def _unguarded(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes, except where a failing import is handled, and code for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Try) and any(map(_catches_missing, child.handlers)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _unguarded(child)


def _catches_missing(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(isinstance(n, ast.Name) and n.id in _GUARDS for n in ast.walk(handler.type))


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return name in sys.modules


def _modules_in(directory: Path) -> set[str]:
    return {entry.stem for entry in directory.iterdir() if entry.suffix in ("", ".py", ".so")}


def _text(path: Path) -> str:
    try:
        return path.read_bytes()[: 10**6].decode(errors="replace")
    except OSError:
        return ""
