// Before the first paint, so no module: the theme that was chosen, or none, which is the system's.
{
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
}
