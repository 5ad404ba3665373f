"""The stages of a run: `harness` runs any stage; `download` and `qrun` do the work of theirs."""
