"""Meter a capture with the class of a plugin in this process, and print its values as JSON lines.

`flowloom plugin dev` runs this while it builds the component. Arguments: the source of the plugin, the capture, the name of
the plugin, the number of flows, and the options as a JSON object.
"""

import importlib.util
import json
import sys
from pathlib import Path

KEY = ["src_ip", "src_port", "dst_ip", "dst_port", "protocol", "expiration_id"]
#: The exit code if this Python has no Flowloom that meters.
ABSENT = 69

try:
    import flowloom
except ImportError:
    sys.exit(ABSENT)
# The package of that name in components cannot meter.
if not hasattr(flowloom, "InProcess"):
    sys.exit(ABSENT)

source, capture, name, count, options = sys.argv[1:]
classes = []


def export(plugin):
    classes.append(plugin)
    return plugin, plugin


flowloom.export = export
sys.path.insert(0, str(Path(source).parent))
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("plugin", source)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
if not classes:
    sys.exit(ABSENT)
plugin = flowloom.InProcess(classes[-1], name=name, options=json.loads(options))
flows = flowloom.meter(capture, plugins=plugin, statistical_analysis=True, splt_analysis=20)
for n, flow in enumerate(flows):
    if n == int(count):
        break
    row = {key: getattr(flow, key) for key in KEY}
    row["udps"] = {output.name: getattr(getattr(flow.udps, name), output.name) for output in classes[-1].outputs}
    print(json.dumps(row, default=lambda value: value.hex() if isinstance(value, bytes) else str(value)))
