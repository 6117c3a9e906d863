"""What is stored. Rows convert to core values; they decide nothing."""

from .control import Maintenance
from .history import Change, ChangeQuerySet
from .outbox import Announcement, Delivery, Unsubscribed
from .series import Series
from .settings import SettingType, SystemSetting
from .subscriber import Subscriber
from .tally import Tally
from .traffic import Traffic
from .window import Window, new_uid
from .worker import Worker

__all__ = [
    "Announcement",
    "Change",
    "ChangeQuerySet",
    "Delivery",
    "Maintenance",
    "Series",
    "SettingType",
    "Subscriber",
    "SystemSetting",
    "Tally",
    "Traffic",
    "Unsubscribed",
    "Window",
    "Worker",
    "new_uid",
]
