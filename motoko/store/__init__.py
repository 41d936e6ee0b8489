"""The one place that knows BlackDynamite, ZODB and ZEO."""

from motoko.store.internals.light_trees import make_import_light

make_import_light()
