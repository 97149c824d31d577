"""Sorting and ranking (`icg.sorting`), soft and exact, with derivatives that are told at ties."""

from .correlation import spearman as spearman
from .hard import rank as rank
from .hard import sort as sort
from .hard import top_k_mask as top_k_mask
from .soft import soft_rank as soft_rank
from .soft import soft_sort as soft_sort
from .soft import soft_top_k_mask as soft_top_k_mask
