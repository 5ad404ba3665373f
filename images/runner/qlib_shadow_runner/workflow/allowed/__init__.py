"""What each part of a workflow may be: the allow-list, as data that `vetting` puts together."""
