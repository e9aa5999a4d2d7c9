"""Whether a server speaks the Hub protocol: cases driven through public clients, told one by one.

    cli/conformance, tests ── suite ──(a process for each group)── process ── groups ── target

The processes run any Python that has some version of huggingface_hub, in its stock configuration; they import
this package alone, so it knows nothing of the rest of ours.
"""
