// The rider has left: the pass opens nothing any more, so this phone forgets it too.
localStorage.removeItem("facefare-pass");
