/* iframe-worker.js: lets the search run in pages that are opened as files. Browsers refuse `new Worker` there, so a hidden
 * frame runs the worker's script instead. Does nothing on pages that come from a server. */
(() => {
  if (location.protocol !== "file:") return;
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.srcdoc = "<!DOCTYPE html><meta charset=utf-8>";
      this.ready = new Promise((resolve, reject) => {
        frame.onload = () => {
          const inside = frame.contentWindow;
          inside.postMessage = data => this.answer(data);
          inside.importScripts = (...urls) => Promise.all(urls.map(each => load(inside, each)));
          load(inside, url).then(() => resolve(inside), reject);
        };
      });
      const load = (inside, each) => new Promise((resolve, reject) => {
        const script = inside.document.createElement("script");
        script.src = new URL(each, document.baseURI);
        script.onload = resolve;
        script.onerror = reject;
        inside.document.body.append(script);
      });
      document.body.append(frame);
      this.frame = frame;
    }
    answer(data) {
      const event = new MessageEvent("message", {data});
      this.dispatchEvent(event);
      if (this.onmessage) this.onmessage(event);
    }
    postMessage(data) {
      this.ready.then(inside => inside.dispatchEvent(new MessageEvent("message", {data})));
    }
    terminate() {
      this.frame.remove();
    }
  };
})();
