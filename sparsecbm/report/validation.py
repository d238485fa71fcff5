"""The page of the stage `validate`."""


def validation_page(result, manifest) -> str:
    return ""
