// Saves figures as SVG, PNG and data; copies tables as CSV and LaTeX, and the paragraph on methods.
(() => {
  const { page, views, rows } = report;
  const root = document.documentElement;

  // -- figures: in the light colours of paper, whatever the screen's ---------------------------------------

  const onPaper = (text) => {
    root.dataset.look = "paper";
    const style = getComputedStyle(root);
    const filled = text.replace(/var\((--[\w-]+)\)/g, (_, variable) => style.getPropertyValue(variable).trim());
    const paper = style.getPropertyValue("--paper").trim();
    delete root.dataset.look;
    return [filled, paper];
  };
  const svgOf = async (name) => {
    const [text, paper] = onPaper(await views[name].toSVG());
    const said = document.querySelector(`[data-chart="${name}"]`).getAttribute("aria-label");
    const title = document.createElement("title");
    title.textContent = said;
    const xml = new XMLSerializer().serializeToString(title).replace(/ xmlns="[^"]*"/, "");
    return text.replace(/^<svg[^>]*>/, (tag) => `${tag}${xml}<rect width="100%" height="100%" fill="${paper}"/>`);
  };
  const pngOf = async (svg) => {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    const times = 3;
    canvas.width = times * image.width;
    canvas.height = times * image.height;
    const pen = canvas.getContext("2d");
    pen.scale(times, times);
    pen.drawImage(image, 0, 0);
    return new Promise((give) => canvas.toBlob(give, "image/png"));
  };
  const download = (blob, file) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const main = (name) => {
    const wanted = new Set();
    const look = (value) => {
      if (Array.isArray(value)) value.forEach(look);
      else if (value && typeof value === "object") {
        if (value.data?.name in page.data) wanted.add(value.data.name);
        Object.values(value).forEach(look);
      }
    };
    look(page.charts[name]);
    return wanted.has(name) ? name : [...wanted][0];
  };
  const save = {
    svg: async (name) => download(new Blob([await svgOf(name)], { type: "image/svg+xml" }), `${name}.svg`),
    png: async (name) => download(await pngOf(await svgOf(name)), `${name}.png`),
    csv: async (name) => {
      const source = rows(main(name));
      const columns = Object.keys(source[0]);
      const lines = [columns, ...source.map((row) => columns.map((column) => row[column] ?? ""))];
      download(new Blob([csv(lines)], { type: "text/csv" }), `${name}.csv`);
    },
  };

  // -- tables --------------------------------------------------------------------------------------------------

  const quoted = (value) => (/[",\n\r]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  const csv = (lines) => lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";

  const textOf = (cell) => {
    const copy = cell.cloneNode(true);
    for (const unseen of copy.querySelectorAll(".unseen, .interval")) if (unseen !== copy) unseen.remove();
    return copy.textContent.replace(/\s+/g, " ").trim();
  };
  const intervalOf = (cell) => {
    const within = cell.classList.contains("interval") ? cell : cell.querySelector(".interval");
    const ends = within?.textContent.trim().match(/^(\S+) to (\S+)$/);
    return ends ? [ends[1], ends[2]] : null;
  };

  // The cells by row and column; a header cell that spans several stands in each of them.
  const gridOf = (body) => {
    const grid = [];
    [...body.rows].forEach((row, r) => {
      grid[r] ??= [];
      let c = 0;
      for (const cell of row.cells) {
        while (grid[r][c]) c += 1;
        for (let i = 0; i < cell.rowSpan; i += 1)
          for (let j = 0; j < cell.colSpan; j += 1) (grid[r + i] ??= [])[c + j] = { cell, top: r, left: c };
        c += cell.colSpan;
      }
    });
    return grid;
  };
  const plain = (text) => (text === "–" ? "" : text.replaceAll("−", "-").replaceAll("\u202f", "").replaceAll("\u00a0", " "));

  const tableCsv = (table) => {
    const head = gridOf(table.tHead);
    const body = [...table.tBodies].flatMap(gridOf);
    const width = Math.max(...body.map((row) => row.length));
    const lines = [[], ...body.map(() => [])];
    for (let c = 0; c < width; c += 1) {
      const name = [...new Set(head.map((row) => row[c]?.cell).filter(Boolean))].map(textOf).filter(Boolean).join(": ");
      const cells = body.map((row) => row[c]?.cell);
      const ends = cells.map((cell) => cell && intervalOf(cell));
      const only = cells.some((cell) => cell?.classList.contains("interval"));
      if (!only) {
        lines[0].push(plain(name));
        cells.forEach((cell, r) => lines[r + 1].push(cell ? plain(textOf(cell)) : ""));
      }
      if (only || ends.some(Boolean)) {
        lines[0].push(plain(`${name}: low`), plain(`${name}: high`));
        ends.forEach((pair, r) => lines[r + 1].push(...(pair ?? ["", ""]).map(plain)));
      }
    }
    return csv(lines);
  };

  const TEX = {
    "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "%": "\\%", "&": "\\&", "#": "\\#", _: "\\_", $: "\\$",
    "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "−": "$-$", "×": "$\\times$", "→": "$\\to$",
    "\u00a0": "~", "\u202f": "\\,", "–": "--", "<": "\\textless{}", ">": "\\textgreater{}", "’": "'",
  };
  const tex = (text) => [...text].map((character) => TEX[character] ?? character).join("");
  const texCell = (cell) => {
    if (!cell) return "";
    const ends = intervalOf(cell);
    const alone = cell.classList.contains("interval");
    let text = alone ? "" : tex(textOf(cell));
    const strong = cell.matches(".mean, .first th, .ahead") || cell.querySelector(".mean");
    if (strong && text) text = `\\textbf{${text}}`;
    return ends ? `${text} [${tex(ends[0])}, ${tex(ends[1])}]`.trim() : text;
  };
  const tableLatex = (table) => {
    const head = gridOf(table.tHead);
    const body = [...table.tBodies].flatMap(gridOf);
    const width = Math.max(...body.map((row) => row.length));
    const right = Array.from({ length: width }, (_, c) => body.some((row) => row[c]?.cell.classList.contains("n")));
    const lines = [`\\begin{tabular}{${right.map((n) => (n ? "r" : "l")).join("")}}`, "\\toprule"];
    head.forEach((row, r) => {
      const cells = [];
      const rules = [];
      for (let c = 0; c < width; c += 1) {
        const at = row[c];
        const last = at && at.top + at.cell.rowSpan - 1 === r;  // what spans rows stands in the last of them
        const text = last ? tex(textOf(at.cell)) : "";
        const span = at?.cell.colSpan ?? 1;
        if (last && span > 1) {
          cells.push(`\\multicolumn{${span}}{c}{${text}}`);
          rules.push(`\\cmidrule(lr){${c + 1}-${c + span}}`);
          c += span - 1;
        } else cells.push(text);
      }
      lines.push(`${cells.join(" & ")} \\\\${rules.length ? ` ${rules.join(" ")}` : ""}`);
    });
    lines.push("\\midrule");
    for (const row of body)
      lines.push(`${Array.from({ length: width }, (_, c) => texCell(row[c]?.cell)).join(" & ")} \\\\`);
    return [...lines, "\\bottomrule", "\\end{tabular}", ""].join("\n");
  };

  // -- the clipboard ---------------------------------------------------------------------------------------

  const put = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // where the page may not, by the old way
      const field = document.createElement("textarea");
      field.value = text;
      field.style.position = "fixed";
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      if (!done) throw new Error("the browser does not let this page copy");
    }
  };
  const made = (button) => {
    const { copy, of, text } = button.dataset;
    if (copy === "said") return text;
    if (of) return (copy === "csv" ? tableCsv : tableLatex)(document.getElementById(of));
    return page.copies[copy];
  };
  const say = (text) => {
    document.getElementById("status").textContent = text;
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy], button[data-save]");
    if (!button) return;
    try {
      if (button.dataset.save) await save[button.dataset.save](button.closest("[data-tools]").dataset.tools);
      else await put(made(button));
      say(button.dataset.save ? "Saved." : "Copied.");
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1500);
    } catch (error) {
      say(`That did not work: ${error.message}.`);
    }
  });
  for (const tools of document.querySelectorAll(".tools:not([data-tools])")) tools.hidden = false;
})();
