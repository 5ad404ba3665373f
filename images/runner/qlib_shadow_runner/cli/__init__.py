import os
from qlib_shadow_runner.contract import Stage
def main(argv):
    from qlib_shadow_runner.stage import run_stage
    return run_stage(Stage(argv[1]), os.environ)
