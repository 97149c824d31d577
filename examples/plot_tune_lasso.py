"""
Tune a LASSO through its own solution
=====================================

How much should a LASSO be penalised? Cross-validation gives every penalty a number; here that number is minimised
with derivatives that pass through the solution of each fold. The curve has a kink wherever a coefficient of some fold
becomes zero, and its minimum may lie on one: there no derivative vanishes, and zero lies between the slopes on the
left and on the right.

The data are the 442 patients of the diabetes study, with the squares and pairwise products of the ten features.
"""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

X, y = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(
    PolynomialFeatures(2, include_bias=False).fit_transform(StandardScaler().fit_transform(X))
)
X = np.delete(X, 20, axis=1)  # the square of the sex, which takes two values, is a linear function of it

# %%
# A criterion is a function of the hyperparameter, here of ``log(alpha)``. It can be called and differentiated like any
# other; ``icg.tune`` minimises it.

criterion = icg.tuning.CrossValidation(
    lambda X, y, log_alpha: icg.lasso(X, y, jnp.exp(log_alpha), fit_intercept=True),
    X,
    y,
    cv=KFold(5, shuffle=True, random_state=1),
)
result = icg.tune(criterion, jnp.log(1.0))
print(result)

# %%
# Left of the best point the error still falls, right of it it rises at once.

ax = icg.plots.zoom(result)
ax.set_ylabel("cross-validation error")
ax.set_title("the best penalty lies on a kink")

# %%
# The model at that penalty, and whether derivatives through it can be trusted:

problem = icg.lasso(X, y, jnp.exp(result.theta), fit_intercept=True)
solution = icg.solve(problem)
certificate = icg.certify(problem, solution)
print(np.count_nonzero(solution.value.coef), "of", X.shape[1], "features are used")
print(certificate)

left, right = result.one_sided_slopes
assert left < 0 < right and certificate.verdict == "certified"
