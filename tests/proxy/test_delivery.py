from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tako.model.control import Delta, Endpoint, Policies, Table, TableApp
from tako.proxy.delivery import Delivery
from tako.proxy.table import TableContent

CONTENTS = [
    TableContent(
        apps=(TableApp(app="shop/production", endpoints=(Endpoint(instance=name, addr="127.0.0.1:1"),)),),
        policies=Policies(https_port=port),
    )
    for name in ("a", "b", "c")
    for port in (443, 8443)
]
UNUSABLE = 8443


@dataclass
class Peer:
    """A proxy that obeys, refuses tables on one port, and may have lost what it held."""

    held: Table | None = None

    def answer(self, message: Table | Delta, delivery: Delivery, *, forgets: bool) -> None:
        if forgets:
            self.held = None
        if isinstance(message, Delta):
            if self.held is None or self.held.generation != message.base:
                delivery.reject(message.generation, "another base")
                return
            changed = {app.app: app for app in message.apps}
            apps = tuple(changed.get(app.app, app) for app in self.held.apps)
            message = self.held.model_copy(update={"generation": message.generation, "apps": apps})
        elif message.policies.https_port == UNUSABLE:
            delivery.reject(message.generation, "unusable")
            return
        self.held = message
        delivery.acknowledge(message.generation)


@given(st.lists(st.tuples(st.sampled_from(CONTENTS), st.booleans(), st.booleans()), min_size=1))
def test_a_peer_comes_to_the_wanted_table_or_refuses_it_whatever_it_forgets(
    steps: list[tuple[TableContent, bool, bool]],
) -> None:
    delivery, peer = Delivery(), Peer()
    under_way: Table | Delta | None = None
    for generation, (content, answers, forgets) in enumerate(steps, start=1):
        sent = delivery.next_message(generation, content)
        assert sent is None or under_way is None, "a second message was sent before the first was answered"
        under_way = sent or under_way
        if answers and under_way is not None:
            peer.answer(under_way, delivery, forgets=forgets)
            under_way = None
    wanted = (len(steps), steps[-1][0])
    for _ in range(4):
        if under_way is not None:
            peer.answer(under_way, delivery, forgets=False)
        under_way = delivery.next_message(*wanted)
    assert under_way is None, "it never comes to rest"
    if wanted[1].policies.https_port == UNUSABLE:
        assert delivery.refused == (wanted[0], "unusable")
    else:
        assert peer.held == wanted[1].table(wanted[0])
        assert delivery.confirmed == wanted[0]


def test_a_late_answer_to_an_earlier_table_changes_nothing() -> None:
    delivery = Delivery()
    delivery.next_message(1, CONTENTS[0])
    delivery.acknowledge(1)
    delivery.next_message(2, CONTENTS[1])
    delivery.acknowledge(1)
    delivery.reject(1, "late")
    assert delivery.confirmed == 1
    assert delivery.under_way is not None
