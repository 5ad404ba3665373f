"""From a run's spec and a template to the workflow that qrun is given.

    prepare      all the steps below, in order
    templates    the template's text, and the parameters that it may use
    filling      Jinja in a sandbox
    parsed       the parsed workflow: its parts, engines, fields, reach and hashes
    read_yaml    the YAML parser that qrun uses, and limits on what it may read
    vetting      the allow-list: `shapes` and `allowed/` are its data
    agreement    what the spec decides, and the template must not
    description  what RUN_METADATA.json says of the research

docs/decisions/0017 names the calls.
"""
