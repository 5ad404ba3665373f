"""The operator: watches QlibShadowRun resources and runs their stages as Jobs."""
