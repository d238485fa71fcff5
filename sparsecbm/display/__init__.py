"""Cards of explanations and of models, as HTML for notebooks and pages, and as Markdown.

Importing this package registers the HTML of each type in `sparsecbm.base.rich`.
"""

from sparsecbm.display import card as card
from sparsecbm.display import summary as summary
