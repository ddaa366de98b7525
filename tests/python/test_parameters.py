"""Parameters: their defaults are those of the library, and wrong values are errors that name them."""

import inspect
import json

import pytest
from conftest import CAPTURES

import flowloom
from flowloom import _flowloom

DNS = CAPTURES / "dns.pcap"
# Parameters whose names differ, and those that the library has in another place.
OTHER = {"grouping": "group", "filter": "where", "max_flows": "max_live_flows"}
NDPI = {"library": "ndpi", "license": "ndpi_license", "protocols": "ndpi_protocols", "categories": "ndpi_categories"}
# Only a plan of a cluster names plugins by digest.
WITHOUT = {"sources", "settings", "ndpi", "plugin_store"}


def test_every_parameter_of_the_library_is_a_parameter_with_its_default():
    defaults = json.loads(_flowloom.defaults())
    library = {name: value for name, value in defaults.items() if name not in WITHOUT}
    library |= defaults["settings"]
    library |= {NDPI[name]: value for name, value in defaults["ndpi"].items()}
    parameters = inspect.signature(flowloom.meter).parameters
    for name, value in library.items():
        default = parameters[OTHER.get(name, name)].default
        if name == "decode_tunnels":
            default = str(default).lower()
        assert (list(default) if isinstance(default, tuple) else default) == value, name
    known = {OTHER.get(name, name) for name in library}
    assert set(parameters) - known == {"source", "features", "plugin_cache", "anonymization_key", "progress"}


def test_every_parameter_is_documented():
    documentation = inspect.getdoc(flowloom.meter)
    for name in inspect.signature(flowloom.meter).parameters:
        lines = (line.split(", ") for line in documentation.splitlines())
        assert any(name in names for names in lines), name


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"idle_timeout": -1}, "idle_timeout=-1"),
        ({"idle_timeout": 1.5}, "idle_timeout=1.5: a whole number is expected"),
        ({"idle_timeout": True}, "idle_timeout=True"),
        ({"n_dissections": 256}, "n_dissections=256: 0 to 255"),
        ({"splt_analysis": 65_536}, "splt_analysis=65536"),
        ({"accounting_mode": "frames"}, "accounting_mode='frames'"),
        ({"group": "some"}, "group='some'"),
        ({"select": "src_ip"}, "select='src_ip': a list"),
    ],
)
def test_a_wrong_value_is_an_error_at_once(parameters, message):
    with pytest.raises(flowloom.ParameterError, match=message):
        flowloom.meter(DNS, **parameters)
    with pytest.raises(ValueError):
        flowloom.meter(DNS, **parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"idle_timeout": 2**64 - 1}, "idle_timeout"),
        ({"decode_tunnels": "gtp,nothing"}, "nothing"),
        ({"bpf_filter": "not a filter"}, "filter"),
        ({"where": "src_ip ="}, "where:1:"),
        ({"select": ["nothing"]}, "nothing"),
        ({"columns_to_anonymize": ["nothing"]}, "nothing"),
        ({"ndpi": "/nowhere.so"}, "/nowhere.so"),
        ({"ndpi_license": "mine"}, "mine"),
        ({"snapshot_length": 0}, "snapshot_length"),
        ({"system_visibility": True}, "system_visibility.*interface of this machine"),
        ({"system_visibility_poll_ms": 0}, "system_visibility_poll_ms"),
    ],
)
def test_a_wrong_value_is_an_error_of_the_run(parameters, message):
    with pytest.raises(flowloom.ParameterError, match=message):
        list(flowloom.meter(DNS, **parameters))


def test_without_ndpi_there_are_no_application_columns():
    assert "application_name" not in flowloom.meter(DNS, ndpi="none").columns
    assert "application_name" in flowloom.meter(DNS).columns


def test_warnings_of_the_library_are_logged(caplog, tmp_path, plugin):
    folder = tmp_path / "open"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    list(flowloom.meter(DNS, plugins=plugin("packet_stats"), plugin_cache=folder))
    assert any("cannot keep compiled plugins" in record.message for record in caplog.records)
    assert {record.name for record in caplog.records} == {"flowloom"}
