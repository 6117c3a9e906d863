"""What the pages of the client area say about closures, and what they keep for the visitor."""

from demo.panel.tests.base import PASSWORD, PanelTestCase


class PageTests(PanelTestCase):
    def test_every_page_has_the_board_of_the_banner(self) -> None:
        self.client.login(username="claire", password=PASSWORD)
        for page in ("/", "/orders/", "/profile/", "/legal/"):
            self.assertContains(self.client.get(page), "data-backsoon-notice ", count=1)

    def test_the_form_of_a_new_order_keeps_what_is_typed(self) -> None:
        self.client.login(username="claire", password=PASSWORD)
        page = self.client.get("/orders/new/")
        self.assertContains(page, 'data-backsoon-draft="order"', count=1)
        self.assertContains(page, "data-backsoon-drafts", count=1)
