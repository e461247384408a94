"use strict";
(() => {
  const page = JSON.parse(document.getElementById("payload").textContent);
  const views = {};
  const isolated = new Set();

  // Columns to rows; a recipe is stored as its place in page.names.
  const rowsOf = (table) => {
    const columns = Object.entries(table);
    return Array.from({ length: columns[0][1].length }, (_, i) =>
      Object.fromEntries(columns.map(([name, values]) => [name, name === "recipe" ? page.names[values[i]] : values[i]])));
  };
  const rows = Object.fromEntries(Object.entries(page.data).map(([name, table]) => [name, rowsOf(table)]));

  // The data go into the compiled Vega specification, so that every chart shares one set of rows.
  const fill = (vega) => {
    for (const source of vega.data) if (source.name in rows) source.values = rows[source.name];
    return vega;
  };

  const draw = async (place) => {
    const name = place.dataset.chart;
    const options = { actions: false, renderer: "svg", config: page.config, patch: fill, tooltip: { disableDefaultStyle: true } };
    try {
      const { view } = await vegaEmbed(place, page.charts[name], options);
      views[name] = view;
      place.dataset.drawn = "true";
      view.addEventListener("click", (_, item) => item?.datum?.recipe && toggle(item.datum.recipe));
    } catch (error) {
      place.textContent = place.getAttribute("aria-label");
      console.error(`chart ${name}:`, error);
      return;
    }
    const save = document.querySelector(`[data-save="${name}"]`);
    save.hidden = false;
    save.addEventListener("click", () => saveAs(name));
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

  const saveAs = async (name) => {
    const style = getComputedStyle(document.documentElement);
    const colour = (variable) => style.getPropertyValue(variable).trim();
    const svg = (await views[name].toSVG())
      .replace(/var\((--[\w-]+)\)/g, (_, variable) => colour(variable))
      .replace(/^<svg[^>]*>/, (tag) => `${tag}<rect width="100%" height="100%" fill="${colour("--paper")}"/>`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    link.download = `${name}.svg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // Isolating a recipe: the same names for every chart, the legend and the table of results.
  const show = (names) => {
    for (const view of Object.values(views)) view.signal("isolated", [...names]).runAsync();
  };
  const toggle = (name) => {
    isolated.has(name) ? isolated.delete(name) : isolated.add(name);
    apply();
  };
  const apply = () => {
    for (const button of document.querySelectorAll(".legend [data-recipe]"))
      button.setAttribute("aria-pressed", String(isolated.has(page.names[button.dataset.recipe])));
    for (const row of document.querySelectorAll(".results [data-recipe]"))
      row.classList.toggle("isolated", isolated.has(page.names[row.dataset.recipe]));
    for (const part of document.querySelectorAll(".legend, .results")) part.classList.toggle("some", isolated.size > 0);
    const all = document.querySelector(".legend .all");
    if (all) all.hidden = isolated.size === 0;
    show(isolated);
  };
  const legend = document.querySelector(".legend");
  if (legend) {
    legend.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (button.classList.contains("all")) { isolated.clear(); apply(); } else toggle(page.names[button.dataset.recipe]);
    });
    for (const button of legend.querySelectorAll("[data-recipe]")) {
      button.addEventListener("pointerenter", () => show(isolated.size ? isolated : [page.names[button.dataset.recipe]]));
      button.addEventListener("pointerleave", () => show(isolated));
    }
  }

  (async () => {
    for (const place of document.querySelectorAll("[data-chart]")) await draw(place);
    document.documentElement.dataset.ready = "true";
  })();
})();
