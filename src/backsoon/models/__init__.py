"""What is stored. Rows convert to core values; they decide nothing."""

from .control import Maintenance
from .history import Change, ChangeQuerySet
from .series import Series
from .settings import SettingType, SystemSetting
from .subscriber import Subscriber
from .traffic import Traffic
from .window import Window, new_uid
from .worker import Worker

__all__ = [
    "Change",
    "ChangeQuerySet",
    "Maintenance",
    "Series",
    "SettingType",
    "Subscriber",
    "SystemSetting",
    "Traffic",
    "Window",
    "Worker",
    "new_uid",
]
