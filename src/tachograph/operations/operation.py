"""How a run surrounds a block, a function, a coroutine or a generator without ever leaking its context."""

import contextlib
import functools
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextvars import Token
from types import FrameType, TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from tachograph import correlation
from tachograph._otel import detach
from tachograph.operations.run import Run

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound=Run)

_DONE = object()


class Operation(Generic[R]):
    """
    A context manager and decorator around one kind of run.

    As a decorator it makes a new run for every call; as a context manager one object is for one block at a time.
    """

    def __init__(self, make_run: Callable[[], R]) -> None:
        self._make_run = make_run
        self._entered: list[tuple[R, Token[Context] | None]] = []

    def __enter__(self) -> R:
        return self._enter(sys._getframe(1))  # noqa: SLF001 - whose block this is

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit(error)

    def __aenter__(self) -> Awaitable[R]:
        return ready(self._enter(sys._getframe(1)))  # noqa: SLF001 - whose block this is

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Awaitable[None]:
        self._exit(error)
        return ready(None)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """
        Run every call of `function` in a run of its own; where that returns a coroutine, until the coroutine ends.

        Raises TypeError for what cannot be called.
        """
        return cast("Callable[P, T]", self._decorated(function))

    def _decorated(self, function: object) -> object:
        if isinstance(function, classmethod | staticmethod):
            return type(function)(cast("Callable[..., Any]", self._decorated(function.__func__)))
        if not callable(function):
            kind = type(function).__name__
            raise TypeError(f"an operation decorates what can be called, and no {kind}; write it below @{kind}")
        wrap = next(wrap for applies, wrap in _WRAPPERS if applies(function) or applies(_body(function)))
        return functools.wraps(function)(wrap(function, self._make_run))

    def _enter(self, caller: FrameType) -> R:
        run = self._make_run()
        _start(run)
        # A generator shares its caller's context: what it attached would stay current at each of its yields.
        token = None if is_bare_generator(caller) else otel_context.attach(run.context)
        self._entered.append((run, token))
        return run

    def _exit(self, error: BaseException | None) -> None:
        run, token = self._entered.pop()
        run.end(error)
        if token is not None:
            detach(token)


def _start(run: Run) -> None:
    try:
        run.start()
    except BaseException as error:
        run.end(error)
        raise


def _body(function: Callable[..., Any]) -> object:
    """Return what runs when `function` is called: for an object, the `__call__` of its class."""
    call = type(function).__call__
    return call if inspect.isfunction(call) else function


def _wrap_function(function: Callable[..., Any], make_run: Callable[[], Run]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        run = make_run()
        _start(run)
        with correlation.within(run.context):
            return _called(run, lambda: function(*args, **kwargs))

    return wrapper


def _called(run: Run, function: Callable[[], Any]) -> Any:
    try:
        result = function()
    except BaseException as error:
        run.end(error)
        raise
    if inspect.iscoroutine(result):
        return _awaited(run, result)  # its work is still to come
    run.end(None)
    return result


async def _awaited(run: Run, coroutine: Awaitable[T]) -> T:
    with correlation.within(run.context):
        try:
            result = await coroutine
        except BaseException as error:
            run.end(error)
            raise
        run.end(None)
        return result


def _wrap_coroutine(function: Callable[..., Any], make_run: Callable[[], Run]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        async with Operation(make_run):
            return await function(*args, **kwargs)

    return wrapper


def _wrap_generator(function: Callable[..., Any], make_run: Callable[[], Run]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        run = make_run()
        _start(run)
        with _ending(run):
            return (yield from _steps(function(*args, **kwargs), run.context))

    return wrapper


def _wrap_async_generator(function: Callable[..., Any], make_run: Callable[[], Run]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        run = make_run()
        _start(run)
        with _ending(run):
            generator = function(*args, **kwargs)
            resume: Callable[[], Awaitable[Any]] = functools.partial(anext, generator)
            try:
                while (item := await _async_step(resume, run.context)) is not _DONE:
                    try:
                        resume = functools.partial(generator.asend, (yield item))
                    except GeneratorExit:
                        raise
                    except BaseException as error:  # noqa: BLE001 - whatever the caller throws belongs to the generator
                        resume = functools.partial(generator.athrow, error)
            finally:
                await generator.aclose()

    return wrapper


_WRAPPERS: tuple[tuple[Callable[[object], bool], Callable[..., Callable[..., Any]]], ...] = (
    (inspect.isasyncgenfunction, _wrap_async_generator),
    (inspect.isgeneratorfunction, _wrap_generator),
    (inspect.iscoroutinefunction, _wrap_coroutine),
    (lambda _function: True, _wrap_function),
)


@contextlib.contextmanager
def _ending(run: Run) -> Iterator[None]:
    try:
        yield
    except GeneratorExit:
        run.end(None)  # the caller took what it wanted
        raise
    except BaseException as error:
        run.end(error)
        raise
    else:
        run.end(None)


def _steps(generator: Any, context: Context) -> Any:
    """Drive `generator`, with `context` current only while it computes and never while its caller has the word."""
    resume: Callable[[], Any] = functools.partial(next, generator)
    while True:
        token = otel_context.attach(context)
        try:
            item = resume()
        except StopIteration as stop:
            return stop.value
        finally:
            detach(token)
        try:
            sent = yield item
        except GeneratorExit:
            generator.close()
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the caller throws belongs to the generator
            resume = functools.partial(generator.throw, error)
        else:
            resume = functools.partial(generator.send, sent)


async def _async_step(resume: Callable[[], Awaitable[Any]], context: Context) -> Any:
    token = otel_context.attach(context)
    try:
        return await resume()
    except StopAsyncIteration:
        return _DONE
    finally:
        detach(token)


async def ready(value: T) -> T:
    """Return `value` to whoever awaits it."""
    return value


def is_bare_generator(frame: FrameType | None) -> bool:
    """
    Tell whether the block that `frame` opens belongs to a generator, whose caller would find it current at a `yield`.

    What contextlib drives (a generator made a context manager, an ExitStack) opens it for the frame that drives it.
    """
    while frame is not None:
        if frame.f_code.co_filename == contextlib.__file__:
            if frame.f_code.co_name == "inner":  # as a decorator: the block is one call
                return False
            frame = frame.f_back
        elif not frame.f_code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
            return False
        elif frame.f_back is None or frame.f_back.f_code.co_filename != contextlib.__file__:
            return True
        else:
            frame = frame.f_back
    return False
