"""Questions a client asks about itself: may I, who am I. Whoever gets in may do everything."""

from typing import Any

from tako.api.errors import bad_request, unknown_path

Document = dict[str, Any]


def answer_review(group: str, plural: str, body: Any) -> Document:
    """Return the review with its status filled in."""
    if not isinstance(body, dict):
        raise bad_request("the body must be a review")
    answers = {
        "selfsubjectaccessreviews": {"allowed": True, "reason": "whoever is let in may do everything"},
        "selfsubjectrulesreviews": {
            "incomplete": False,
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        },
        "selfsubjectreviews": {"userInfo": {"username": "tako:admin", "groups": ["system:masters"]}},
    }
    if plural not in answers:
        raise unknown_path()
    kinds = {
        "selfsubjectaccessreviews": "SelfSubjectAccessReview",
        "selfsubjectrulesreviews": "SelfSubjectRulesReview",
        "selfsubjectreviews": "SelfSubjectReview",
    }
    head = {"kind": kinds[plural], "apiVersion": f"{group}/v1", "metadata": {"creationTimestamp": None}}
    return {**head, "spec": body.get("spec") or {}, "status": answers[plural]}
