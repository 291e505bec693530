// Elements. Properties that start with "aria", and those that an element does not have, become attributes.

export const $ = (id) => document.getElementById(id);

export function h(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name in made && !name.startsWith("aria")) made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((one) => one !== null && one !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

export function iconButton(name, label, onclick, properties = {}) {
  const all = { type: "button", class: "quiet square", "aria-label": label, title: label, onclick, ...properties };
  return h("button", all, icon(name));
}

// Makes the given elements a container's children, in order. Those that stay where they are keep focus and selection.
export function place(container, elements) {
  let at = container.firstElementChild;
  for (const element of elements) {
    if (element === at) at = at.nextElementSibling;
    else container.insertBefore(element, at);
  }
  while (at) {
    const next = at.nextElementSibling;
    at.remove();
    at = next;
  }
}

// Runs a task at most once a frame, or soon where no frame comes because the tab is hidden.
export function eachFrame(task) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    const run = () => {
      if (!waiting) return;
      waiting = false;
      task();
    };
    if (document.hidden) setTimeout(run, 200);
    else requestAnimationFrame(run);
  };
}

export const isNarrow = () => matchMedia("(max-width: 48rem)").matches;
