"""How many tokens does healing need? One child healed for longer and longer, on people's text and on its parent's."""
