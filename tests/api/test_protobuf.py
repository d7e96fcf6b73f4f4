"""Protobuf bodies: those of a real kubectl (recorded), those of a small encoder, and damaged ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tako.api.protobuf import ProtobufInvalid, decode

RECORDED = {
    "kubectl create namespace staging": (
        "6b3873000a0f0a02763112094e616d657370616365"
        "121f0a170a0773746167696e6712001a0022002a0032003800420012001a020a001a002200",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "staging"}},
    ),
    "kubectl create configmap c --from-literal=a=1 --from-literal=empty=": (
        "6b3873000a0f0a0276311209436f6e6669674d6170"
        "12260a110a016312001a0022002a0032003800420012060a016112013112090a05656d70747912001a002200",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "empty": ""}},
    ),
    "kubectl create secret generic s --from-literal=p=hush": (
        "6b3873000a0c0a0276311206536563726574"
        "12200a110a017312001a0022002a0032003800420012090a01701204687573681a001a002200",
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"p": "aHVzaA=="}},
    ),
    "kubectl create serviceaccount sa": (
        "6b3873000a140a027631120e536572766963654163636f756e7412140a120a02736112001a0022002a003200380042001a002200",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa"}},
    ),
    "kubectl auth can-i get apps.tako.sh -n production": (
        "6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a65637441636365737352657669657712"
        "470a100a0012001a0022002a0032003800420012290a270a0a70726f64756374696f6e12036765741a0022002a0c617070732e74616b6f2e73"
        "6832003a001a08080012001a0020001a002200",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"namespace": "production", "verb": "get", "resource": "apps.tako.sh"}},
        },
    ),
    "kubectl auth can-i get /healthz": (
        "6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a656374416363657373526576696577"
        "122f0a100a0012001a0022002a003200380042001211120f0a082f6865616c74687a12036765741a08080012001a0020001a002200",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"nonResourceAttributes": {"path": "/healthz", "verb": "get"}},
        },
    ),
}


@pytest.mark.parametrize("command", RECORDED)
def test_what_kubectl_sends_is_read(command):
    body, document = RECORDED[command]
    assert decode(bytes.fromhex(body)) == document


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def part(number, value):
    """Encode a field: an int as varint, everything else by its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value % 2**64)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def body(api_version, kind, raw):
    return b"k8s\0" + part(1, part(1, api_version) + part(2, kind)) + part(2, raw)


def test_every_kind_of_field_is_read():
    labels = part(11, part(1, "a") + part(2, "b")) + part(11, part(1, "c"))
    owner = part(
        13, part(1, "App") + part(3, "hello") + part(4, "u-1") + part(5, "tako.sh/v1") + part(6, 1) + part(7, 0)
    )
    managed = part(17, part(1, "ci") + part(7, part(1, '{"f:data":{}}')))
    times = part(8, part(1, 1_700_000_000)) + part(9, b"") + part(10, 0)
    raw = part(1, part(1, "c") + labels + owner + managed + times + part(14, "a/b") + part(14, "c/d") + part(99, "new"))
    raw += part(3, part(1, "k") + part(2, b"\x00\xff")) + part(4, 1) + varint(50 << 3 | 5) + b"1234"
    assert decode(body("v1", "ConfigMap", raw)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "c",
            "labels": {"a": "b", "c": ""},
            "ownerReferences": [
                {
                    **{"kind": "App", "name": "hello", "uid": "u-1", "apiVersion": "tako.sh/v1"},
                    **{"controller": True, "blockOwnerDeletion": False},
                }
            ],
            "managedFields": [{"manager": "ci", "fieldsV1": {"f:data": {}}}],
            "creationTimestamp": "2023-11-14T22:13:20Z",
            "deletionGracePeriodSeconds": 0,
            "finalizers": ["a/b", "c/d"],
        },
        "binaryData": {"k": "AP8="},
        "immutable": True,
    }


def test_numbers_below_zero_and_microseconds_are_read():
    spec = part(1, "me") + part(2, -1) + part(3, part(1, 1_700_000_000) + part(2, 123_456_789)) + part(5, 0)
    assert decode(body("coordination.k8s.io/v1", "Lease", part(2, spec)))["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": -1,
        "acquireTime": "2023-11-14T22:13:20.123456Z",
        "leaseTransitions": 0,
    }


def test_a_scale_to_zero_says_zero():
    assert decode(body("autoscaling/v1", "Scale", part(2, part(1, 0))))["spec"] == {"replicas": 0}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"kind":"ConfigMap"}', "send JSON"),
        (body("batch/v1", "Job", b""), "Job cannot be read as protobuf here"),
        (b"k8s\0", "an object without a kind"),
        (body("v1", "Secret", b"")[:-1] + b"\x09", "ends in the middle"),
        (b"k8s\0\xff", "does not end"),
        (b"k8s\0" + b"\xff" * 20, "does not end"),
        (b"k8s\0\x0b", "wire type 3"),
        (body("v1", "ConfigMap", part(1, 7)), "a number where bytes belong"),
        (body("v1", "ConfigMap", part(4, "x")), "bytes where a number belongs"),
        (body("v1", "ConfigMap", part(1, part(1, b"\xff"))), "not UTF-8"),
        (body("v1", "ConfigMap", part(1, part(17, part(7, part(1, "{"))))), "no JSON"),
        (body("v1", "ConfigMap", part(1, part(8, part(1, 2**60)))), "out of range"),
    ],
)
def test_what_cannot_be_read_is_refused(data, words):
    with pytest.raises(ProtobufInvalid, match=words):
        decode(data)


@given(st.binary(max_size=60), st.sampled_from(["ConfigMap", "Secret", "Event", "DeleteOptions"]))
def test_any_bytes_are_read_or_refused(data, kind):
    for text in (data, b"k8s\0" + data, body("v1", kind, data)):
        try:
            assert isinstance(decode(text), dict)
        except ProtobufInvalid:
            pass
