"""TensorFlow: what it writes, course reads, and the other way round; the Keras models give the numbers of the torch models.

Run in an environment with `pip install -e ".[tf-test]"` and, without what it asks for, tf-keras (start.py makes it); without
TensorFlow these tests are skipped.
"""

import importlib.util
import os

os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")      # before anything imports it
collect_ignore_glob = [] if importlib.util.find_spec("tensorflow") and importlib.util.find_spec("transformers") else ["test_*.py"]
