/* On pages that are files, browsers start no workers: the search runs in a hidden frame instead. */
if (location.protocol === "file:") {
  const load = (...urls) =>
    urls.reduce(
      (before, url) =>
        before.then(
          () =>
            new Promise((done) => {
              const script = document.createElement("script");
              script.src = url;
              script.addEventListener("load", done);
              document.body.append(script);
            }),
        ),
      Promise.resolve(),
    );
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inside = frame.contentWindow;
      window.addEventListener("message", (event) => {
        if (event.source !== this.inside) return;
        const passed = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(passed);
        if (this.onmessage) this.onmessage(passed);
      });
      const page = this.inside.document;
      page.open();
      page.write(
        "<html><body><script>postMessage = (data) => parent.postMessage(data, '*');" +
          `importScripts = ${load};</script><script src="${url}"></script></body></html>`,
      );
      page.close();
      this.ready = new Promise((done) => frame.addEventListener("load", done));
    }
    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data, source: window })));
    }
    terminate() {
      this.inside.frameElement.remove();
    }
  };
}
