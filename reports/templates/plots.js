// Points of a plot that lead to their picture: one link for each plot, which goes to the point
// under the pointer, or with the arrow keys from point to point.
"use strict";
(() => {
  const REACH_PX = 14;

  function nameOf(address) {
    const parts = new URLSearchParams(address.slice(1));
    return [parts.get("picture"), parts.get("b")].filter(Boolean).join(" · ");
  }

  function enliven(layer) {
    const data = document.getElementById(layer.dataset.points);
    const { addresses, places } = JSON.parse(data.textContent);
    places.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const link = document.createElement("a");
    const tip = document.createElement("span");
    link.className = "point";
    link.append(tip);
    layer.append(link);
    let at = -1;

    function moveTo(place) {
      at = place;
      const [left, top, number] = places[at];
      link.href = addresses[number];
      link.style.left = `${left}%`;
      link.style.top = `${top}%`;
      link.classList.toggle("leftwards", left > 60);
      tip.textContent = nameOf(addresses[number]);
      link.setAttribute("aria-label", `${tip.textContent}, point ${at + 1} of ${places.length}`);
    }

    function follow(event) {
      const box = layer.getBoundingClientRect();
      const distances = places.map(([left, top]) => Math.hypot(
        box.left + (left / 100) * box.width - event.clientX,
        box.top + (top / 100) * box.height - event.clientY,
      ));
      const nearest = distances.indexOf(Math.min(...distances));
      const isNear = distances[nearest] <= REACH_PX;
      if (isNear && nearest !== at) moveTo(nearest);
      layer.classList.toggle("near", isNear);
      return isNear;
    }

    moveTo(0);
    layer.addEventListener("pointermove", follow);
    layer.addEventListener("pointerleave", () => layer.classList.remove("near"));
    layer.addEventListener("click", (event) => {
      // A finger comes down on the plot before the link is there.
      if (!link.contains(event.target) && follow(event)) link.click();
    });
    link.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      moveTo((at + step + places.length) % places.length);
    });
  }

  document.querySelectorAll("[data-points]").forEach(enliven);
})();
