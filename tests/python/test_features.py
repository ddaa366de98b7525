"""Features: columns that expressions define."""

import json

import pytest
from conftest import CAPTURES

import flowloom

TLS = CAPTURES / "tls13.pcap"


def test_expressions_are_columns():
    flows = flowloom.meter(TLS, features=["big = count(where ip_size > 1000)", "up = sum(ip_size, src2dst)"], accounting_mode="ip")
    for flow in flows:
        assert flow.udps.features.big <= flow.bidirectional_packets
        assert flow.udps.features.up == flow.src2dst_bytes
    text = "let gap = iat\nlongest = max(gap) in ms  # Longest time without a packet, ms."
    table = flowloom.meter(TLS, features=text).to_polars()
    assert (table["udps.features.longest"] <= table["bidirectional_duration_ms"] + 1).all()


def test_an_expression_gets_the_grants_that_it_needs():
    flows = flowloom.meter(TLS, features="tls = any(payload[0] == 0x16)")
    assert all(flow.udps.features.tls for flow in flows)


def test_a_file_of_features_is_a_plugin(tmp_path):
    file = tmp_path / "sizes.features"
    file.write_text("big = count(where ip_size > 1000)\n")
    values = [flow.udps.sizes.big for flow in flowloom.meter(TLS, plugins=file)]
    assert values == [flow.udps.features.big for flow in flowloom.meter(TLS, features=file.read_text())]
    file.write_text("tls = any(payload[0] == 0x16)\n")
    with pytest.raises(flowloom.PluginError, match=r"payload bytes \(1\), which were not granted"):
        list(flowloom.meter(TLS, plugins=file))
    granted = flowloom.meter(TLS, plugins=flowloom.Wasm(file, grants="payload:1"))
    assert all(flow.udps.sizes.tls for flow in granted)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (["a = count()", "b = cunt()"], "(?s)'cunt'.* --> features:2:5"),
        ("a = mean(iat)", "(?s)its unit is missing.*features:1:5"),
        ("#" * 70_000, "70000 bytes; at most 65536"),
        ([1], "features: 1 is not text"),
    ],
)
def test_a_mistake_is_an_error_that_shows_its_place(features, message):
    with pytest.raises(flowloom.ParameterError, match=message):
        list(flowloom.meter(TLS, features=features))


def test_a_plan_carries_the_expressions():
    plan = flowloom.plan(TLS, features="n = count()")
    (task,) = (flowloom.Task(task.to_json()) for task in plan.tasks)
    assert json.loads(task.to_json())["config"]["plugins"][0]["source"] == {"features": "n = count()"}
    assert [flow.udps.features.n for flow in task.flows()] == [flow.bidirectional_packets for flow in flowloom.meter(TLS)]
