// Colours of code.

import highlighter from "../vendor/highlight.js";
import purify from "../vendor/purify.js";

const LONGEST = 60_000; // characters; what is longer stays plain
const SAFE = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };

export function highlightInto(code, text, language) {
  if (!highlighter.getLanguage(language) || text.length > LONGEST) code.textContent = text;
  else
    code.replaceChildren(purify.sanitize(highlighter.highlight(text, { language, ignoreIllegals: true }).value, SAFE));
}
