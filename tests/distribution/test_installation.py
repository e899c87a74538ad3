"""From an empty cache to a full one, and everything that may come in between."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from brokerlab.distribution import fetch, installation
from brokerlab.distribution.installation import installed, prefetch, prefetch_2018
from brokerlab.distribution.jars import Jar
from brokerlab.errors import DownloadError, NotFetchedError, ResourceError, SettingError
from brokerlab.progress import Progress
from brokerlab.settings import Settings
