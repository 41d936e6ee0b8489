"""What `motoko top` and `motoko web` show, as a program that is executed where they would be.

Its arguments are ``told`` or ``untold``, for whether the bus has to be heard, and a run.
"""

LIVE = """\
import asyncio, json, sys, time
from motoko.cli.render.web import page_data
from motoko.config import load
from motoko.reports.run_pages import RunQuery, run_page
from motoko.views.feed import Feed

config = load()


async def look():
    changed = asyncio.Event()
    feed = Feed(config, changed.set)
    feeding = asyncio.create_task(feed.run())
    view = feed.view

    def is_known():
        untold = view.why_untold or (view.status and view.status.note)
        is_told = view.is_told if sys.argv[1] == "told" else untold
        studies = view.studies.values()
        return is_told and all(s.read_at or s.problem for s in studies)

    while not is_known():
        assert not feeding.done(), feeding.exception()
        changed.clear()
        await asyncio.wait_for(changed.wait(), 30)
    feeding.cancel()
    await feed.look_at_slots()
    return page_data.workflow(view, config, time.time(), has_control=False), view.slots.count


shown, slots = asyncio.run(look())
study, _, number = sys.argv[2].partition(".")
page = run_page(config, config.studies[study], RunQuery(), 0, 10)
detail = page_data.run(config, study, int(number))
print(json.dumps([shown, slots, page_data.runs(page), detail], default=str))
"""
