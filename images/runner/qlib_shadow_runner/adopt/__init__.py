"""From a workflow file of plain qrun to a template and a QlibShadowRun that ask the same question.

read        the file: bounded, its environment variables filled in, its anchors resolved
report      what is changed, what is left out, and what ends the adoption
classes     Qlib's classes, ours for them, and what the others need
model       the model and LightGBM's parameters
features    dataset, handler, processors and segments
records     the three records, strategy, executor and exchange
source      the provider, as a source of the dataset
question    all parts together, checked as `validate` checks a manifest
write       the text of the template and of the manifest
"""
