"""The chaos runner: ``python -m sse_kit.testing.chaos --engine redis --seed 1 --minutes 2``.

Two app processes behind real uvicorn share one log. Publishers post batches to either and try again
with the same keys until they are acknowledged; clients hop between the two and resume. Meanwhile
engine and apps are killed, frozen, restarted, cut off, and set back to an older state. A judge that
knows what was acknowledged reads what every client was given.

=============  =============================================================================
``judge``      who was promised what, and who got it: pure
``schedule``   which fault comes when, from the seed: pure
``wire``       HTTP by hand: a request, an answer, a stream
``app``        the app that is killed: a program of its own
``cluster``    the engine, the network before it, the two apps; what each fault does
``traffic``    publishers and clients
``runner``     rounds: traffic and faults, then silence, then the judge
``report``     totals over runs, as text, as Markdown, in a file
=============  =============================================================================

A third party's engine: ``--engine module:store``, where ``store(folder)`` returns an
:class:`~sse_kit.testing.chaos.cluster.EngineStore` over an
:class:`~sse_kit.testing.engines.Engine`, whose URL :func:`~sse_kit.transport_from_url` knows; its
transport takes the options ``namespace``, ``retention`` and ``connect_timeout``.
"""
