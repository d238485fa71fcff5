"""From a finished run to a champion that others load: registered, judged, promoted, on record."""
