"use strict";
// Asks for the study's state now and then, and shows it. Names are only ever set as text.
(() => {
  const at = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const drawn = {};
  const isolated = new Set();
  let state = null, seen = "", arm = null, field = "valid", lost = 0, timer = 0;

  const make = (tag, attributes = {}, ...children) => {
    const node = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(name, value);
    node.append(...children.filter((child) => child !== null).map((child) => (child instanceof Node ? child : String(child))));
    return node;
  };
  // A part is drawn anew only when what it shows has changed, so that focus and selection stay.
  const changed = (part, ...facts) => {
    const told = JSON.stringify(facts);
    if (drawn[part] === told) return false;
    drawn[part] = told;
    return true;
  };
  const fill = (id, nodes) => at(id).replaceChildren(...nodes);

  const DASHES = ["", "6 3", "2 2", "9 3 2 3"];
  const stroke = (i) => ({ stroke: `var(--r${i % 7})`, "stroke-dasharray": DASHES[Math.floor(i / 7) % 4] || null });
  const minus = (text) => text.replaceAll("-", "−");
  const short = (x) => (x === null || x === undefined ? "–" : minus(Math.abs(x) >= 1e5 || (x && Math.abs(x) < 1e-3) ? x.toExponential(1) : String(Number(x.toPrecision(4)))));
  const percent = () => state.metric.unit === "%";
  const value = (x) => (x === null || x === undefined ? "–" : percent() ? `${minus((100 * x).toFixed(1))} %` : `${short(x)}${state.metric.unit ? ` ${state.metric.unit}` : ""}`);
  const duration = (s) => {
    if (s < 60) return `${Math.max(1, Math.round(s))} s`;
    if (s < 5400) return `${Math.round(s / 60)} min`;
    return s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${(s / 86400).toFixed(1)} days`;
  };
  const counted = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
  const ARMS = { chosen: "tuned", defaults: "defaults", tuning: "tuning", sensitivity: "learning rates", "": "" };

  const headline = () => {
    const { phase, finished, planned, progress, directory } = state;
    const runs = `${finished} of ${planned ? `at most ${planned}` : "no"} runs`;
    if (phase === "waiting") return `Waiting for a study in ${directory}.`;
    if (phase === "starting") return "The study begins: it checks the task and plans.";
    if (phase === "broken") return `The records cannot be read: ${state.problem}.`;
    if (phase === "finished") return state.verdict ? state.verdict[0] : "The run is done.";
    if (phase === "stopped") return `Stopped: ${runs} are done.`;
    const left = progress.left === null ? "" : `, about ${duration(progress.left)} left`;
    return planned > 1 ? `Running: ${runs}${left}.` : `Running${left}.`;
  };
  const lead = () => {
    const { phase, verdict, warnings, report, command } = state;
    if (phase === "waiting") return ["There are no records there yet. The page follows as soon as there are."];
    if (phase === "stopped") return [`No process writes here now. The same command goes on where it stopped${command ? ":" : "."}`, command ? make("pre", {}, make("code", {}, command)) : null];
    if (phase !== "finished") return [];
    const link = make("a", { href: "/report" }, "The report");
    const many = warnings ? ` and ${counted(warnings, "warning")}` : "";
    return [...(verdict ? verdict.slice(1) : []), report ? make("span", {}, link, ` has the intervals${many}.`) : null];
  };

  const top = () => {
    const { task, names, progress, phase, finished, failed } = state;
    document.title = `${phase === "running" ? `${Math.floor(100 * progress.share)} % · ` : ""}${task} – thalweg`;
    at("summary").textContent = [task, state.there ? counted(names.length, "recipe") : "no records", state.directory].join(" · ");
    at("headline").textContent = headline();
    at("bar").value = progress.share;
    at("bar").hidden = phase !== "running" && phase !== "stopped";
    const facts = [];
    if (phase === "running" && progress.what) facts.push(`now: ${progress.what}`);
    if (finished) facts.push(`${counted(finished, "run")} done`);
    if (failed) facts.push(`${failed} of them failed`);
    if (phase === "running" && progress.age > 20) facts.push(`nothing new for ${duration(progress.age)}`);
    at("facts").textContent = facts.join(" · ");
    if (changed("lead", phase, state.verdict, state.report, state.command))
      fill("lead", lead().filter((part) => part !== null).map((part) => (part instanceof HTMLPreElement ? part : make("p", { class: "lead" }, part))));
  };

  const named = (i) => make("span", {}, make("svg:svg", { width: 22, height: 10, "aria-hidden": "true" }, make("svg:line", { x1: 0, y1: 5, x2: 22, y2: 5, "stroke-width": 2.4, ...stroke(i) })), " ", state.names[i]);

  const ahead = () => {
    const found = state.ahead;
    at("ahead").hidden = !found || state.phase === "finished";
    if (!found || !changed("ahead", found, state.names)) return;
    const what = found.arm === "tuning" ? "the best trial so far" : found.paired ? "means over the seeds that all of these have done" : "means over the runs that are done, not over the same seeds";
    at("caution").textContent = `This is not a verdict: ${what}, on the validation split, without intervals. Who is ahead now may well not be in the end.`;
    at("value-head").textContent = `Validation ${state.metric.name}, ${ARMS[found.arm]}`;
    const values = found.rows.map((row) => row.value);
    const low = Math.min(...values), high = Math.max(...values);
    fill("ahead-rows", found.rows.map((row) => {
      const x = high > low ? 8 + (104 * (row.value - low)) / (high - low) : 60;
      const picture = make("svg:svg", { width: 120, height: 12, class: "share", "aria-hidden": "true" },
        make("svg:line", { x1: 4, x2: 116, y1: 6, y2: 6, class: "grid" }), make("svg:circle", { cx: x, cy: 6, r: 4.5, fill: `var(--r${row.recipe % 7})` }));
      return make("tr", {}, make("th", { scope: "row", class: "name" }, named(row.recipe)), make("td", { class: "n mean" }, value(row.value)), make("td", { class: "n" }, row.runs), make("td", {}, picture));
    }));
  };

  const choice = (id, options, chosen, choose) =>
    fill(id, options.map(([name, told]) => {
      const button = make("button", { type: "button", "aria-pressed": String(name === chosen) }, told);
      button.addEventListener("click", () => { choose(name); courses(); });
      return button;
    }));

  const ticks = (low, high, count = 5) => {
    const power = 10 ** Math.floor(Math.log10((high - low) / count));
    const gap = [1, 2, 5, 10].map((step) => step * power).find((step) => (high - low) / step <= count) ?? 10 * power;
    const found = [];
    for (let tick = Math.ceil(low / gap - 1e-9) * gap; tick <= high + 1e-9 * gap; tick += gap) found.push(tick);
    return found;
  };

  const courses = () => {
    const there = Object.keys(state.arms);
    const live = state.now.filter((run) => run.epoch.length > 1);
    const kinds = [...new Set([...there, ...live.map((run) => run.arm || "chosen")])].sort((a, b) => Object.keys(ARMS).indexOf(a) - Object.keys(ARMS).indexOf(b));
    at("courses").hidden = !kinds.length;
    if (!kinds.length) return;
    const shown = kinds.includes(arm) ? arm : kinds[0];
    const mine = live.filter((run) => (run.arm || "chosen") === shown);
    const lines = state.arms[shown] ?? [];
    if (!changed("courses", lines, mine, kinds, shown, field, state.names, [...isolated], at("plot").clientWidth)) return;
    if (changed("switches", kinds, shown, field)) {
      choice("arms", kinds.length > 1 ? kinds.map((kind) => [kind, ARMS[kind]]) : [], shown, (name) => { arm = name; });
      choice("fields", [["valid", `validation ${state.metric.name}`], ["train_loss", "training loss"]], field, (name) => { field = name; });
    }
    if (changed("legend", state.names, [...isolated]))
      fill("legend", state.names.length > 1 ? state.names.map((_, i) => {
        const button = make("button", { type: "button", "aria-pressed": String(isolated.has(i)) }, named(i));
        button.addEventListener("click", () => { isolated.has(i) ? isolated.delete(i) : isolated.add(i); courses(); });
        return button;
      }) : []);
    fill("plot", [plot(lines, mine)]);
    at("plot").firstChild.classList.toggle("some", isolated.size > 0);
    const what = field === "valid" ? `Validation ${state.metric.name}` : "Training loss, mean over each epoch’s batches,";
    at("plotted").textContent = `${what} by epoch. Thick: the median of the runs that are done${field === "valid" ? ", with the middle 80 % of them" : ""}; thin: runs in training now. Epoch 0 is the untrained model.`;
  };

  const plot = (lines, live) => {
    const width = Math.max(320, Math.min(960, at("plot").clientWidth || 640)), height = Math.round(Math.min(340, width * 0.62));
    const left = 56, right = 10, upper = 10, lower = 34;
    const factor = field === "valid" && percent() ? 100 : 1;
    const numbers = [];
    const middle = [];
    for (const line of lines) for (const key of field === "valid" ? ["valid", "low", "high"] : ["train_loss"]) numbers.push(...(line[key] ?? []));
    for (const run of live) numbers.push(...run[field]);
    const known = numbers.filter((x) => x !== null && x !== undefined).map((x) => factor * x).sort((a, b) => a - b);
    const picture = make("svg:svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": told(lines) });
    if (!known.length) return picture;
    // One run that explodes must not press all others together.
    const quantile = (share) => known[Math.min(known.length - 1, Math.floor(share * known.length))];
    let low = known[0], high = known[known.length - 1];
    const spread = quantile(0.95) - quantile(0.05);
    if (high > quantile(0.95) + 3 * spread) high = quantile(0.95) + 0.3 * spread;
    if (low < quantile(0.05) - 3 * spread) low = quantile(0.05) - 0.3 * spread;
    const margin = 0.04 * (high - low) || 0.05 * Math.abs(high) || 1;
    [low, high] = [low - margin, high + margin];
    const last = Math.max(1, ...lines.map((line) => line.epoch.at(-1)), ...live.map((run) => run.epoch.at(-1)));
    const x = (epoch) => (left + (epoch / last) * (width - left - right)).toFixed(1);
    const y = (v) => Math.max(upper - 2, Math.min(height - lower + 2, height - lower - ((factor * v - low) / (high - low)) * (height - upper - lower))).toFixed(1);
    for (const tick of ticks(low, high, 7)) {
      const place = y(tick / factor);
      picture.append(make("svg:line", { x1: left, x2: width - right, y1: place, y2: place, class: "grid" }), make("svg:text", { x: left - 8, y: Number(place) + 4, "text-anchor": "end" }, short(tick)));
    }
    for (const tick of ticks(0, last, 8).filter(Number.isInteger)) picture.append(make("svg:text", { x: x(tick), y: height - lower + 17, "text-anchor": "middle" }, tick));
    picture.append(make("svg:text", { x: (left + width - right) / 2, y: height - 2, "text-anchor": "middle" }, "epoch"));
    const way = (epochs, values) => {
      let text = "", pen = "M";
      epochs.forEach((epoch, i) => {
        if (values[i] === null) pen = "M";
        else { text += `${pen}${x(epoch)} ${y(values[i])}`; pen = "L"; }
      });
      return text;
    };
    const mark = (i) => (isolated.has(i) ? " isolated" : "");
    for (const line of lines) {
      if (field !== "valid" || !line.low) continue;
      const there = line.epoch.map((_, i) => i).filter((i) => line.low[i] !== null && line.high[i] !== null);
      const edge = [...there.map((i) => `${x(line.epoch[i])} ${y(line.high[i])}`), ...there.reverse().map((i) => `${x(line.epoch[i])} ${y(line.low[i])}`)];
      if (edge.length) picture.append(make("svg:path", { d: `M${edge.join("L")}Z`, class: `band${mark(line.recipe)}`, fill: `var(--r${line.recipe % 7})` }));
    }
    for (const run of live) picture.append(make("svg:path", { d: way(run.epoch, run[field]), class: `live${mark(run.recipe)}`, ...stroke(run.recipe) }));
    for (const line of lines) {
      middle.push(make("svg:path", { d: way(line.epoch, line[field]), class: `line${mark(line.recipe)}`, ...stroke(line.recipe) }, make("svg:title", {}, `${state.names[line.recipe]}: ${counted(line.runs, "run")}, ${field === "valid" ? value(line.valid.at(-1)) : short(line.train_loss.at(-1))} at the end`)));
    }
    picture.append(...middle);
    return picture;
  };
  const told = (lines) => `Courses by epoch. At the end: ${lines.map((line) => `${state.names[line.recipe]} ${field === "valid" ? value(line.valid.at(-1)) : short(line.train_loss.at(-1))}`).join("; ") || "nothing yet"}.`;

  const now = () => {
    at("now").hidden = !state.now.length;
    if (!changed("now", state.now, state.names)) return;
    at("now-head").textContent = `Validation ${state.metric.name}`;
    fill("now-rows", state.now.map((run) => {
      const share = run.of ? run.done / run.of : 0;
      const bar = make("svg:svg", { width: 60, height: 8, class: "share", "aria-hidden": "true" }, make("svg:rect", { width: 60, height: 8, rx: 3, fill: "var(--rule)" }), make("svg:rect", { width: 60 * share, height: 8, rx: 3, fill: `var(--r${run.recipe % 7})` }));
      return make("tr", {}, make("th", { scope: "row", class: "name" }, named(run.recipe)), make("td", {}, ARMS[run.arm] ?? run.arm), make("td", {}, run.seed), make("td", {}, bar, ` ${run.done} of ${run.of}`), make("td", { class: "n" }, short(run.train_loss.at(-1))), make("td", { class: "n" }, value(run.valid.at(-1))));
    }));
  };

  const failures = () => {
    const found = state.failures;
    at("failures").hidden = !found.length;
    if (!changed("failures", found, state.failed, state.names)) return;
    at("failures-note").textContent = `${counted(state.failed, "run")} of ${state.finished} did not finish; each counts as a failure and is scored as the untrained model.${state.failed > found.length ? ` The last ${found.length} are shown.` : ""}`;
    fill("failures-rows", found.map((run) => make("tr", {}, make("th", { scope: "row", class: "name" }, named(run.recipe)), make("td", {}, ARMS[run.arm] ?? run.arm), make("td", {}, run.seed), make("td", { class: "failed" }, run.status), make("td", { class: "reason" }, run.reason))));
  };

  const said = () => {
    at("said").hidden = !state.said.length;
    if (changed("said", state.said)) fill("said-rows", state.said.map((line) => make("li", {}, line)));
  };

  const show = () => {
    top();
    ahead();
    courses();
    now();
    failures();
    said();
    document.documentElement.dataset.ready = "true";
  };

  const ask = async () => {
    clearTimeout(timer);
    try {
      const answer = await fetch(`/state?seen=${seen}`, { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error(answer.statusText);
      const found = await answer.json();
      if (!found.same) {
        seen = found.name;
        state = found.state;
        show();
      }
      lost = 0;
    } catch (error) {
      if (state === null || ++lost > 1) {
        at("lost").textContent = "The watcher does not answer; it has ended, or is busy. This page goes on when thalweg watch is begun again.";
        lost = Math.max(lost, 2);
      }
    }
    at("lost").hidden = lost < 2;
    const wait = lost ? 4000 : state?.phase === "finished" ? 5000 : 1500;
    if (!document.hidden) timer = setTimeout(ask, wait);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isolated.size) {
      isolated.clear();
      courses();
    }
  });
  addEventListener("resize", () => { if (state) courses(); });
  ask();
})();
