"""How results look in notebooks and pages: cards of explanations and of models.

Importing this package registers the HTML of each type in `sparsecbm.base.rich`.
"""

from sparsecbm.display import card as card
