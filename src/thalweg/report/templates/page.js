"use strict";
// Draws the charts, and makes the recipes that are picked stand out in every chart and table.
const report = (() => {
  const page = JSON.parse(document.getElementById("payload").textContent);
  const views = {};
  const isolated = new Set();
  const kept = {};

  // Columns to rows; a recipe is stored as its place in page.names.
  const named = (name, value) => (name === "recipe" && typeof value === "number" ? page.names[value] : value);
  const rows = (source) => {
    if (!kept[source]) {
      const columns = Object.entries(page.data[source]);
      kept[source] = Array.from({ length: columns[0][1].length }, (_, i) =>
        Object.fromEntries(columns.map(([name, values]) => [name, named(name, values[i])])));
    }
    return kept[source];
  };

  // The data go into the compiled Vega specification, so that every chart shares one set of rows.
  const fill = (vega) => {
    for (const source of vega.data) if (source.name in page.data) source.values = rows(source.name);
    return vega;
  };

  const draw = async (place) => {
    const name = place.dataset.chart;
    const options = { actions: false, renderer: "svg", config: page.config, patch: fill, tooltip: { disableDefaultStyle: true } };
    const inside = document.createElement("div");  // Vega gives it a role and a label of its own
    place.replaceChildren(inside);
    try {
      const { view } = await vegaEmbed(inside, page.charts[name], options);
      views[name] = view;
      place.dataset.drawn = "true";
      if (isolated.size) view.signal("isolated", [...isolated]).runAsync();
      view.addEventListener("click", (_, item) => page.names.includes(item?.datum?.recipe) && toggle(item.datum.recipe));
    } catch (error) {
      place.textContent = place.getAttribute("aria-label");
      console.error(`chart ${name}:`, error);
      return;
    }
    for (const tools of document.querySelectorAll(`[data-tools="${name}"]`)) tools.hidden = false;
    const choice = document.querySelector(`[data-switch="${name}"]`);
    if (choice && page.charts[name].params.some((param) => param.name === "close")) {
      choice.hidden = false;
      choice.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (!button) return;
        for (const other of choice.children) other.setAttribute("aria-pressed", String(other === button));
        views[name].signal("close", button.dataset.close === "true").runAsync();
      });
    }
  };

  const show = (names) => {
    for (const view of Object.values(views)) view.signal("isolated", [...names]).runAsync();
  };
  const toggle = (name) => {
    isolated.has(name) ? isolated.delete(name) : isolated.add(name);
    apply();
  };
  const apply = () => {
    const places = new Set([...isolated].map((name) => page.names.indexOf(name)));
    for (const button of document.querySelectorAll("button[data-recipe]"))
      button.setAttribute("aria-pressed", String(places.has(Number(button.dataset.recipe))));
    for (const row of document.querySelectorAll("tr[data-recipes]"))
      row.classList.toggle("isolated", row.dataset.recipes.split(" ").some((place) => place !== "" && places.has(Number(place))));
    for (const part of document.querySelectorAll(".legend, table")) part.classList.toggle("some", isolated.size > 0);
    for (const all of document.querySelectorAll(".legend .all")) all.hidden = isolated.size === 0;
    show(isolated);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.classList.contains("all")) {
      isolated.clear();
      apply();
      document.querySelector(".legend [data-recipe]").focus();
    } else if (button.dataset.recipe) toggle(page.names[button.dataset.recipe]);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isolated.size) {
      isolated.clear();
      apply();
    }
  });
  for (const button of document.querySelectorAll(".legend [data-recipe]")) {
    button.addEventListener("pointerenter", () => show(isolated.size ? isolated : [page.names[button.dataset.recipe]]));
    button.addEventListener("pointerleave", () => show(isolated));
  }

  // One chart after the other, with room between them for what the reader does.
  const drawn = (async () => {
    for (const place of document.querySelectorAll("[data-chart]")) {
      await draw(place);
      await new Promise((go) => setTimeout(go));
    }
    document.documentElement.dataset.ready = "true";
  })();

  return { page, views, rows, drawn };
})();
