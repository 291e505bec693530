"""The public types, as users' type checkers see them: mypy and basedpyright read these files, nothing runs them."""
