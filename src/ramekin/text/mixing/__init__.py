"""Mixtures of tasks: what is mixed, at which rates, and which example each draw is. Values in, values out.

    Mixture --adjusted--> Mixture --leaves--> (Leaf, …)
       --mix(sizes)--> Mixed(weights, rates) --MixtureDraws(rates, seed)--> Draw(leaf, nth)
       --walked--> Visit(epoch, place) --template_at--> a template's name

Nothing here reads a file, a record or a token: whoever has read a task says how many rows it has.
"""
