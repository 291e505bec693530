// Dark, light, or as the system is.

const KEY = "theme";

export const theme = () => localStorage.getItem(KEY);

export function setTheme(name) {
  if (name) {
    localStorage.setItem(KEY, name);
    document.documentElement.dataset.theme = name;
  } else {
    localStorage.removeItem(KEY);
    delete document.documentElement.dataset.theme;
  }
}

export function toggleTheme() {
  const isDark = theme() ? theme() === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  setTheme(isDark ? "light" : "dark");
}

// Another tab has chosen
window.addEventListener("storage", ({ key, newValue }) => {
  if (key === KEY) setTheme(newValue);
});
