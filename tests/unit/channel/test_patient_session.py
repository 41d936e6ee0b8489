"""A client's session survives its servers: whichever byte was the last one, nothing is untrue."""

from hypothesis import given, settings
from hypothesis import strategies as st
from lost_servers import DIES, DROPS, GOES_ON, OIDS, check, world

steps = st.one_of(
    st.tuples(st.just("load"), st.sampled_from(OIDS)),
    st.tuples(st.just("commit"), st.lists(st.sampled_from(OIDS), min_size=1, unique=True)),
    st.tuples(st.just("abort"), st.sampled_from(OIDS)),
    st.tuples(st.just("new"), st.none()),
    st.tuples(st.just("others"), st.sampled_from(OIDS)),
)
# How many bytes go by before what happens: the server dies, only the connection is lost, or
# neither; and what others commit then.
happenings = st.tuples(
    st.integers(0, 700),
    st.sampled_from([DIES, DIES, DROPS, GOES_ON]),
    st.lists(st.sampled_from(OIDS), max_size=2),
)


@settings(max_examples=60)
@given(st.lists(steps, max_size=6), st.lists(happenings, max_size=6))
def test_any_loss_is_hidden_or_told(script, happenings):
    with world(happenings) as it:
        for kind, subject in script:
            if kind == "load":
                it.client.load(subject)
                it.run()
            elif kind == "others":
                it.others(subject)
                it.run()
            else:
                oids = subject if kind == "commit" else [subject]
                it.commit(oids, abort=kind == "abort", new=kind == "new")
            if it.session.end:
                break
        check(it)
