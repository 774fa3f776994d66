"""The item index: built and tuned (`stage`), kept (`item_index`), and what tuning tried (`record`, `words`)."""
