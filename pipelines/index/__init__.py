"""The item index: built and tuned (`stage`), kept (`item_index`), also of core operations (`core`), and what was tried
(`record`, `words`)."""
