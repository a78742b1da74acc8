// What a page shows: its heading, what it says of problems, and every text of
// an element, of an option or of a label that is read out.
(() => {
  const text = (el) => (el.innerText || el.textContent || "").replace(/\s+/g, " ").trim();
  const visible = (el) => el.getClientRects().length > 0 || el.tagName === "OPTION";
  const all = new Set();
  for (const el of document.body.querySelectorAll("*")) {
    if (!visible(el) || el.closest("script, noscript, svg, iframe")) continue;
    if (el.textContent.length < 700) all.add(text(el)).add(el.textContent.replace(/\s+/g, " ").trim());
    for (const node of el.childNodes) {
      if (node.nodeType === Node.TEXT_NODE) all.add(node.data.replace(/\s+/g, " ").trim());
    }
    for (const attribute of ["aria-label", "alt"]) {
      if (el.hasAttribute(attribute)) all.add(el.getAttribute(attribute));
    }
  }
  all.delete("");
  const problems = document.querySelectorAll("main [role=alert] h2, main [role=alert] li, main .err, main [role=status], main > p, main > .actions > .btn");
  return {
    heading: text(document.querySelector("h1") || document.createElement("p")),
    said: [...problems].filter(visible).map(text).filter(Boolean),
    all: [...all],
  };
})()
